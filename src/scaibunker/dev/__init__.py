"""All in one: a controller and one worker in one command, for a laptop or a test.

`main.run` is what `scaibunker dev` calls; `stack` says which processes there are, `child` keeps one
alive, `layout` where things lie in the data folder. `demo` is what `make demo` shows.
"""
