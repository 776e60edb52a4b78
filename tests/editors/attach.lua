-- Opens $MOEC_SPEC with the plugin of editors/neovim as a person would install it; writes what happened to $MOEC_ANSWER.

local seen = { warnings = {} }
vim.notify_once = function(message)
  table.insert(seen.warnings, message)
end

require("moec").setup({ cmd = vim.split(vim.env.MOEC_COMMAND, " ") })
vim.cmd("filetype plugin on | syntax on")
vim.cmd("edit " .. vim.env.MOEC_SPEC)
vim.wait(vim.env.MOEC_LENS and 1 or tonumber(vim.env.MOEC_WAIT), function()
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

local lenses = {}
if vim.env.MOEC_LENS then
  vim.wait(tonumber(vim.env.MOEC_WAIT), function()
    lenses = vim.fn.has("nvim-0.12") == 0 and vim.lsp.codelens.get(0)
      or vim.tbl_map(function(found)
        return found.lens
      end, vim.lsp.codelens.get({ bufnr = 0 }))
    return #lenses > 0
  end, 20)
  if vim.lsp.inlay_hint then -- from Neovim 0.10 on
    vim.wait(tonumber(vim.env.MOEC_WAIT), function()
      return #vim.lsp.inlay_hint.get({ bufnr = 0 }) > 0
    end, 20)
    seen.hints = #vim.lsp.inlay_hint.get({ bufnr = 0 })
  end
  table.sort(lenses, function(one, other)
    return one.range.start.line < other.range.start.line
  end)
  seen.lenses = vim.tbl_map(function(lens)
    return lens.command.title
  end, lenses)
  vim.api.nvim_win_set_cursor(0, { lenses[1].range.start.line + 1, 0 })
  vim.ui.select = function(choices, _, picked)
    picked(choices[1], 1)
  end
  vim.lsp.codelens.run()
  vim.wait(tonumber(vim.env.MOEC_WAIT), function()
    return vim.bo.buftype == "nofile"
  end, 20)
  seen.page = vim.api.nvim_buf_get_lines(0, 0, 3, false)
end

local file = assert(io.open(vim.env.MOEC_ANSWER, "w"))
file:write(vim.json and vim.json.encode(seen) or vim.fn.json_encode(seen))
file:close()
vim.cmd("qall!")
