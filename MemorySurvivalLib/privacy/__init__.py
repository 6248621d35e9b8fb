"""What leaves this machine about a person: whom an export names, what is taken out, and the search that checks it."""
