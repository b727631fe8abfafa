"""What comes due: taken in from the stream, held until its moment, completed in the table."""
