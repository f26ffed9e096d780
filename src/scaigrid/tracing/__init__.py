"""Traces, from the caller to the guest: spans (`spans`), requests (`requests`), and their export
(`export`).

Off unless `SCAIGRID_TRACING_ENDPOINT` is set. Within a request that is traced, and in what it
starts, `spans` finds the tracer in the context; anywhere else there is none, and nothing is done.
"""
