"""Code lists: our own as enumerations, those of others as versioned data files beside this module."""
