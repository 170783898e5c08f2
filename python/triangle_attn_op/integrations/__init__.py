"""Adapters that let other libraries use triangle attention; each is imported by name, so none of them is needed."""
