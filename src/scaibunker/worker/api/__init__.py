"""What the controller may ask of this worker, over HTTP. `app` puts the routes together."""
