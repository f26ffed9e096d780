"""Objects over HTTP: the storage proxy's operations, and the capabilities that open them."""
