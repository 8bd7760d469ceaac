"""`chromogen utility`: what made cases are good for. Readers are trained with and without them and judged on real patients."""
