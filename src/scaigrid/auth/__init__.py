"""How a caller is recognised: API keys (`keys`), the bearer header, service tokens (`service`)."""
