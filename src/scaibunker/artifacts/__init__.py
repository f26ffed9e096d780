"""What machines boot from: kernel, initramfs and images, built once and cached by content.

Callers use `manifest` (`load`, `ensure`); `python -m scaibunker.artifacts` is for people and the
Makefile. Nothing here runs while machines run, and nothing here knows of workers.
"""
