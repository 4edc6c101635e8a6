"""For the site: sections named "Example" are shown as "Examples", which are the ones it knows."""

import re
from typing import Any

from griffe import Extension, Object


class NameExamples(Extension):
    """Of all docstrings."""

    def on_instance(self, *, obj: Object, **kwargs: Any) -> None:
        """Rename the section of one of them."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"(?m)^Example:$", "Examples:", obj.docstring.value)
