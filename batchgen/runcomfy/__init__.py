"""The vendor's API: one client, and what its answers mean.

client.py    a method a call; no network failure leaves it as an exception
limits.py    how long calls may take, and how many may be open
upload.py    the body of a submit on its way, and when all of it was handed over
base.py      base addresses, and which texts can be a request id
token.py     where the token is found
hidden_urls.py  signed URLs that a submit sent stay out of what is kept
response.py  an answer: JSON, the vendor's error and its meaning
submit.py    what the answer to a submit or a cancel means
result.py    what the answer to a result or status call means
pricing.py   prices, input schemas and the balance
outcomes.py  the outcomes of all calls
"""
