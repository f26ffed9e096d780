"""Persistent bunkers that nobody uses: put to sleep in a snapshot (`sleep`), and woken by whoever uses them
next (`awake`, `wake`). The order of the steps is `bunkers.decide`'s."""
