"""Networks: preprocessing, a backbone of keras.applications with its initial weights, and a head."""
