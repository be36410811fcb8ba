"""What a trained network says, and how good that is."""
