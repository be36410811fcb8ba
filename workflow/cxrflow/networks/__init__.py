"""The networks: a backbone of keras.applications, its preprocessing, its initial weights, and the head behind it."""
