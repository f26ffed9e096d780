"""Object storage: large things by key, in a local directory (S3 comes with the storage proxy).

`objects` is the backend. It holds no policy: who may read which key is the caller's business.
"""
