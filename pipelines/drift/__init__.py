"""Has the text changed since the champion was trained? Answered before training again."""
