"""The controller: the module that owns every durable fact about bunkers.

It decides and records; machines are the workers' business. A room per concept: `bunkers` (the
resource and its life), `relay` (commands and files), `workers` (who is there), `scheduler` (who
takes the next one), `images`. `module.py` puts them together for ScaiGrid.
"""
