"""Systems under equal conditions: trained and scored one process each, beside controls."""
