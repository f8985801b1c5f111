"""The plugin that reads Flask's routes."""

class FlaskPlugin:
    @staticmethod
    def flaskpath2openapi(path: str) -> str: ...
