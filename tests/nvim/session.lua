-- What the scripts share. A script runs inside of a headless Neovim, and writes what it saw to the
-- file `FLOWGATE_SEEN`; an error ends Neovim with code 1, as it would wait for ever otherwise.
local M = {}

local seen = {}

--- Waits for something to become true; says what was waited for, where it does not.
function M.await(what, condition)
  if not vim.wait(20000, condition, 10) then
    error('waited in vain: ' .. what .. '\n' .. vim.inspect(vim.diagnostic.get()), 2)
  end
end

--- Waits until a buffer shows so many findings, and gives their rules, from the top.
function M.findings(buffer, count)
  M.await(count .. ' findings', function()
    return #vim.diagnostic.get(buffer) == count
  end)
  local found = vim.diagnostic.get(buffer)
  table.sort(found, function(a, b)
    return a.lnum < b.lnum
  end)
  return vim.tbl_map(function(finding)
    return ('%d:%d %s'):format(finding.lnum + 1, finding.col + 1, finding.code or finding.user_data.lsp.code)
  end, found)
end

function M.saw(name, value)
  seen[name] = value
end

function M.lines()
  return vim.api.nvim_buf_get_lines(0, 0, -1, false)
end

--- Runs a script's body and ends Neovim.
function M.run(body)
  local fine, problem = xpcall(body, debug.traceback)
  if not fine then
    io.stderr:write(problem .. '\n')
    vim.cmd('cquit 1')
  end
  local file = assert(io.open(os.getenv('FLOWGATE_SEEN'), 'w'))
  file:write(vim.fn.json_encode(seen))
  file:close()
  vim.cmd('qall!')
end

return M
