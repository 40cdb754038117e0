"""What is made of a stream: views, objects, and what transforms chunks. They know no provider."""
