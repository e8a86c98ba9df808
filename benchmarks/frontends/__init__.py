"""The same four programs in two languages, on one server."""
