"""What a tokenization costs: sequence lengths, what compression loses, a recommendation."""
