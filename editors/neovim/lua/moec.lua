-- The client of `moec lsp` for Neovim 0.7 and newer. Colours and settings of .moe files are those of editors/vim.

local M = {}

local ROOT_MARKS = { "moec.root", ".git", "pyproject.toml" }
local clients = {}

--- The nearest folder above `path` that holds one of ROOT_MARKS, else the folder of `path`: as moec sees it.
local function root_of(path)
  local folder = vim.fn.fnamemodify(path, ":p:h")
  local own = folder
  while true do
    for _, mark in ipairs(ROOT_MARKS) do
      if vim.fn.filereadable(folder .. "/" .. mark) == 1 or vim.fn.isdirectory(folder .. "/" .. mark) == 1 then
        return folder
      end
    end
    local parent = vim.fn.fnamemodify(folder, ":h")
    if parent == folder then
      return own
    end
    folder = parent
  end
end

local function is_spec(buffer)
  local name = vim.api.nvim_buf_get_name(buffer)
  return vim.bo[buffer].filetype == "moe" or name:match("%.moe%.yaml$") ~= nil
end

--- Starts the server for the project of `buffer`, or joins the one that runs there.
local function attach(buffer, options)
  if not is_spec(buffer) then
    return
  end
  if vim.fn.executable(options.cmd[1]) == 0 then
    vim.notify_once('moec: no `' .. options.cmd[1] .. '` on the PATH; pip install "moec[lsp]"', vim.log.levels.WARN)
    return
  end
  local root = root_of(vim.api.nvim_buf_get_name(buffer))
  local config = vim.tbl_extend("force", { name = "moec", root_dir = root }, options)
  if vim.lsp.start then
    vim.lsp.start(config, { bufnr = buffer })
    return
  end
  local client = clients[root]
  if not client or vim.lsp.client_is_stopped(client) then
    client = vim.lsp.start_client(config)
    clients[root] = client
  end
  vim.lsp.buf_attach_client(buffer, client)
end

--- Attaches the server to every spec that is opened. `options` are those of `vim.lsp.start`, for example `on_attach`;
--- `cmd` is `{ "moec", "lsp" }` unless given.
function M.setup(options)
  options = vim.tbl_extend("force", { cmd = { "moec", "lsp" } }, options or {})
  local group = vim.api.nvim_create_augroup("moec", { clear = true })
  vim.api.nvim_create_autocmd("FileType", {
    group = group,
    pattern = { "moe", "yaml" },
    callback = function(event)
      attach(event.buf, options)
    end,
  })
end

return M
