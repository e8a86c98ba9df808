"""Training the router of `organize="auto"`."""
