"""One file per verb or group of verbs. Each has `app`, and is imported only when it is used."""
