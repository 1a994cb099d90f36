"""A word to whoever waits for a run, by way of apprise: mail, chats, phones, webhooks.

occasions.py   when a word is sent, and to whom; message.py: what it says
address.py     where it goes: a URL that is checked early and never shown
sending.py     one word to one address, with a deadline
threads.py     blocking work that nobody has to wait for
"""
