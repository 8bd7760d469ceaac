"""What is drawn before an image is: its lines, its organ, the noise between them, a label in its place. Arithmetic only."""
