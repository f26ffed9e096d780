"""Whether this process can do its work: what is looked at (`checks`), how (`probe`), and for whom
(`routes`)."""
