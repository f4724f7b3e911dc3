"""The one door every call goes through, and what an answer looks like."""
