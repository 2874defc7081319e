"""OpenAI today: Responses and Conversations."""
