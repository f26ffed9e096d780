"""From the folders in which the gateway keeps records of flows to the deployment's object storage."""
