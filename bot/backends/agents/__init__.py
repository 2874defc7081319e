"""OpenAI's Agents API, a beta: sessions and turns."""
