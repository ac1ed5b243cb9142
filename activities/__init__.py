"""Touch the world once, safe to run twice: classes whose fields are what they need and whose methods are activities."""
