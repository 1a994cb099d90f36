"""The pictures behind an input's URLs, looked at before money is spent."""
