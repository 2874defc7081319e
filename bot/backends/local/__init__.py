"""Servers that keep nothing: Responses, with the history that Bobbin keeps."""
