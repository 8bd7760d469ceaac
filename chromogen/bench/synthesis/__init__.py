"""`chromogen bench synthesis`: whatever makes images of cases, on the same cases, with the same budget, beside controls."""
