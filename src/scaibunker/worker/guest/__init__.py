"""Speaking to the agent in a guest: `connection` carries bytes, `agent` knows its routes."""
