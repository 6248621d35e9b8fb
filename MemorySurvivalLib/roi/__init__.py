"""Named masks on the CT grid and the prompt boxes made from them."""
