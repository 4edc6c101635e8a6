"""The methods of a service, by subject: they check arguments and give flows."""
