"""The demonstration (`make run`): the product with a company of its own between an emulated PBX and an emulated CRM."""
