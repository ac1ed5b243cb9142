"""Touch the world once, safe to run twice: classes whose fields are what they need, whose methods are the activities."""
