"""For the site: what docstrings lack for griffe, which reads them for the reference."""

import re
from typing import Any

from griffe import Attribute, Extension, Object


class FitDocstrings(Extension):
    """Of all objects of the package."""

    def on_instance(self, *, obj: Object, **kwargs: Any) -> None:
        """Name a section "Example" as griffe knows it: "Examples"."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"(?m)^Example:$", "Examples:", obj.docstring.value)

    def on_attribute_instance(self, *, attr: Attribute, **kwargs: Any) -> None:
        """Take from a plain attribute the docstring of its value's type."""
        if "property" not in attr.labels:
            attr.docstring = None
