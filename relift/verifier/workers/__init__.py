"""The processes that compare what takes a parser, or a function of the user: started, fed, killed and replaced."""
