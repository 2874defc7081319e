"""Servers that speak the Assistants protocol: assistants, threads, messages, runs."""
