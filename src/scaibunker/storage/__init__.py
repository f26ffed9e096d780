"""Object storage: large things by key, in a bucket or a local directory.

`objects` is the store, `keys` what a key may look like, `capabilities` the signed permission to use a
part of it. Who may do what beyond that, and HTTP, are the business of those who use it.
"""
