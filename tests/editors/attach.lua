-- Opens $MOEC_SPEC with the plugin of editors/neovim as a person would install it; writes what happened to $MOEC_ANSWER.

local seen = { warnings = {} }
vim.notify_once = function(message)
  table.insert(seen.warnings, message)
end

require("moec").setup({ cmd = vim.split(vim.env.MOEC_COMMAND, " ") })
vim.cmd("filetype plugin on | syntax on")
vim.cmd("edit " .. vim.env.MOEC_SPEC)
vim.wait(tonumber(vim.env.MOEC_WAIT), function()
  return #vim.diagnostic.get(0) > 0
end, 20)
seen.filetype = vim.bo.filetype
seen.shiftwidth = vim.bo.shiftwidth
seen.roots = vim.tbl_map(function(client)
  return client.config.root_dir
end, vim.tbl_values((vim.lsp.get_clients or vim.lsp.buf_get_clients)()))
seen.messages = vim.tbl_map(function(one)
  return one.message
end, vim.diagnostic.get(0))

local file = assert(io.open(vim.env.MOEC_ANSWER, "w"))
file:write(vim.json and vim.json.encode(seen) or vim.fn.json_encode(seen))
file:close()
vim.cmd("qall!")
