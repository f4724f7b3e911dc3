"""Does a plain question find the right tool?"""
