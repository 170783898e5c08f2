"""Adapters that let other libraries use triangle attention. Each is imported by name, so none of those libraries is needed by the package itself."""
