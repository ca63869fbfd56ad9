"""Forms made from the models of the message types: fields, what is posted, and what is wrong with it, in words."""
