package backup

// CreateOver is Create with a store put over the folder's own.
var CreateOver = create
